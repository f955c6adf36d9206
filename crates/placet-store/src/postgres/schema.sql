CREATE TABLE entry (seq bigint PRIMARY KEY, leaf text NOT NULL, hash bytea NOT NULL);
CREATE TABLE view (seq bigint PRIMARY KEY, body text NOT NULL);
CREATE TABLE personal (
  seq bigint NOT NULL, field text NOT NULL, salt bytea NOT NULL, value text NOT NULL, PRIMARY KEY (seq, field)
);
CREATE TABLE checkpoint (size bigint PRIMARY KEY, note text NOT NULL);
CREATE TABLE head (
  one int PRIMARY KEY CHECK (one = 1), origin text NOT NULL, size bigint NOT NULL, frontier bytea NOT NULL,
  chain bytea NOT NULL, time_us bigint NOT NULL, seal bytea NOT NULL
);
CREATE TABLE state (
  kind text NOT NULL, id text NOT NULL, body text NOT NULL, seq bigint NOT NULL, PRIMARY KEY (kind, id)
);
CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, seq bigint NOT NULL, topic text NOT NULL, body text NOT NULL,
  sent boolean NOT NULL DEFAULT false
);
CREATE TABLE schema_version (version int NOT NULL);
INSERT INTO schema_version VALUES (1);
-- A courtesy to whoever has a shell open. Nothing relies on it: tampering shows in the tree.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'audit_log is append-only: % is not permitted', TG_OP; END $$;
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
  FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE VIEW budgets AS
  SELECT id, body::jsonb ->> 'limit' AS "limit", body::jsonb ->> 'spent' AS spent, body, seq
  FROM state WHERE kind = 'budget';
CREATE VIEW credentials AS SELECT id, body::jsonb ->> 'session' AS session, body, seq FROM state WHERE kind = 'credential';
CREATE VIEW revocations AS SELECT id, body, seq FROM state WHERE kind = 'revocation';
CREATE VIEW approvals AS SELECT id, body::jsonb ->> 'state' AS state, body, seq FROM state WHERE kind = 'approval';
