/** At most so many starts in so many seconds; so many may come at once. */
export interface Rate {
  limit: number;
  seconds: number;
  burst: number;
}
