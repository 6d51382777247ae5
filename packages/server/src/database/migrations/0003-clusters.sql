-- Kubernetes clusters that environments may name as their engine.
create table cluster (
  name text primary key,
  -- How it is reached, with its credentials; null: the cluster that the control plane runs in.
  kubeconfig text,
  -- What there is to know about it (ClusterSettings of the server).
  settings jsonb not null,
  added_by text not null,
  added_at timestamptz not null default now()
);

-- The engine that runs it; null until something is planned there. It stays, whatever slipway.yaml says later, until the environment is removed.
alter table environment add column engine text;
update environment set engine = 'machine' where plan is not null;

-- Frozen like the rest: what runs for each image that the definition names, with its digest. Null where the artifact itself runs.
alter table release add column images jsonb;

-- Changes to the objects that an engine makes of plans (`kubernetes: patches:`), as the default branch has them.
alter table app add column patches jsonb not null default '[]';
