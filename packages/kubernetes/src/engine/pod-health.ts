import type { ApiClient } from '../api/client.ts';
import {
  diagnose,
  NO_EVIDENCE,
  ROOM_PATIENCE_MILLISECONDS,
  trouble,
  type Diagnosis,
  type Evidence,
} from '../observe/diagnose.ts';
import { collectEvidence } from '../observe/evidence.ts';
import type { PodView } from '../observe/pod-view.ts';

/** What is known about one pod in trouble; `evidence` is null while it is asked for. */
interface Case {
  key: string;
  evidence: Evidence | null;
}

/** Diagnoses of the pods of one environment. The cluster is asked once for each trouble, and until it has answered the pod is told without a failure. */
export class PodHealth {
  readonly #api: ApiClient;
  readonly #known: () => void;
  readonly #now: () => number;
  readonly #cases = new Map<string, Case>();

  /** @param known Called when evidence has come. */
  constructor(api: ApiClient, known: () => void, now: () => number) {
    this.#api = api;
    this.#known = known;
    this.#now = now;
  }

  of(pod: PodView): Diagnosis {
    const key = trouble(pod);
    if (key === null) {
      this.#cases.delete(pod.uid);
      return diagnose(pod, NO_EVIDENCE, this.#now());
    }
    const known = this.#cases.get(pod.uid);
    if (known?.key !== key) this.#ask(pod, key, known?.evidence ?? null);
    const evidence = this.#cases.get(pod.uid)?.evidence ?? null;
    if (evidence !== null) return diagnose(pod, evidence, this.#now());
    return { state: pod.scheduled.met === 'no' ? 'pending' : 'starting', failure: null };
  }

  /** When a diagnosis may change without any news, milliseconds since 1970; null: never. */
  nextChange(pods: readonly PodView[]): number | null {
    const times = pods
      .filter(({ scheduled, life }) => life === 'stays' && scheduled.met === 'no' && scheduled.since !== null)
      .map(({ scheduled }) => (scheduled.since ?? 0) + ROOM_PATIENCE_MILLISECONDS)
      .filter((time) => time > this.#now());
    return times.length === 0 ? null : Math.min(...times);
  }

  forget(pod: PodView): void {
    this.#cases.delete(pod.uid);
  }

  /** @param before Holds until the new one has come: the same container failed before, most likely for the same reason. */
  #ask(pod: PodView, key: string, before: Evidence | null): void {
    const asked: Case = { key, evidence: before };
    this.#cases.set(pod.uid, asked);
    void collectEvidence(this.#api, pod).then(
      (evidence) => {
        asked.evidence = evidence;
        this.#known();
      },
      () => {
        asked.evidence ??= NO_EVIDENCE;
        this.#known();
      },
    );
  }
}
