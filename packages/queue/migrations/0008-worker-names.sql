-- What a worker over HTTP is called by those who run it, such as the name of its pod, with the scope of its token before it: who sees it die
-- can say of what.
alter table worker add column name text;
