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

-- Decision and outcome side by side, as the view of an SQLite ledger and `placet audit` show them.
CREATE VIEW audit_log AS
WITH parsed AS MATERIALIZED (
  -- A zero character stands in JSON, and in no text of PostgreSQL.
  SELECT e.seq, replace(e.leaf, '\u0000', '\ufffd')::json AS leaf, replace(v.body, '\u0000', '\ufffd')::json AS body
  FROM entry e LEFT JOIN view v ON v.seq = e.seq
),
outcome AS MATERIALIZED (
  SELECT leaf #>> '{fact,outcome,decision}' AS decision,
         CASE leaf #>> '{fact,outcome,status}'
           WHEN 'succeeded' THEN 'success' ELSE leaf #>> '{fact,outcome,status}' END AS status,
         leaf #>> '{fact,outcome,error}' AS error, body
  FROM parsed WHERE leaf #> '{fact,outcome}' IS NOT NULL
),
asked AS MATERIALIZED (
  SELECT leaf #>> '{fact,decision,approval}' AS approval, max(seq) AS last
  FROM parsed WHERE leaf #>> '{fact,decision,approval}' IS NOT NULL GROUP BY 1
),
decided AS (
  SELECT seq, leaf ->> 'id' AS id, leaf #> '{fact,decision}' AS fact, leaf, body, (leaf ->> 'time_us')::bigint AS time_us,
         leaf #>> '{fact,decision,verdict}' AS verdict, leaf #>> '{fact,decision,code}' AS code,
         leaf #>> '{fact,decision,approval}' AS approval
  FROM parsed WHERE leaf #> '{fact,decision}' IS NOT NULL
)
SELECT
  d.id AS id,
  d.seq AS seq,
  d.leaf ->> 'session' AS session_id,
  to_char(to_timestamp(d.time_us / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
    || '.' || lpad((d.time_us % 1000000)::text, 6, '0') || '+00:00' AS timestamp,
  d.fact ->> 'action' AS action_type,
  d.body ->> 'target' AS action_target,
  d.body -> 'args' AS action_params,
  d.body ->> 'description' AS action_desc,
  CASE d.fact ->> 'risk_tier' WHEN 'INFORMATIONAL' THEN 'LOW'
       WHEN 'OPERATIONAL' THEN 'MEDIUM' WHEN 'TRANSACTIONAL_LOW' THEN 'MEDIUM'
       WHEN 'TRANSACTIONAL_HIGH' THEN 'HIGH' WHEN 'DESTRUCTIVE' THEN 'HIGH' ELSE 'CRITICAL' END AS risk_level,
  CASE WHEN d.verdict = 'allow' AND d.approval IS NULL THEN 'auto'
       WHEN d.verdict = 'deny' AND d.code <> 'approval_denied' THEN 'block' ELSE 'approve' END AS approval,
  d.fact #>> '{rules,0}' AS matched_rule,
  CASE WHEN d.code = 'approval_denied' THEN 'denied'
       WHEN d.verdict = 'allow' AND d.approval IS NOT NULL THEN 'approved' END AS human_decision,
  CASE WHEN o.decision IS NOT NULL THEN o.status
       WHEN d.verdict = 'allow' AND (d.fact ->> 'permit')::boolean THEN 'unknown'
       WHEN d.verdict = 'allow' THEN 'not_started'
       WHEN d.verdict = 'escalate' THEN 'pending'
       WHEN d.code = 'approval_denied' THEN 'denied' ELSE 'blocked' END AS result_status,
  o.body -> 'result' AS result_data,
  coalesce(o.body ->> 'error', o.error, CASE WHEN d.verdict = 'deny' THEN d.body ->> 'reason' END) AS result_error,
  d.leaf ->> 'agent' AS agent_id,
  d.body ->> 'parent_agent_id' AS parent_agent_id,
  d.fact ->> 'credential' AS chain_id,
  (d.fact ->> 'depth')::int AS chain_depth,
  d.fact ->> 'event_type' AS event_type,
  coalesce(d.fact ->> 'tool', d.fact ->> 'action') AS tool_name,
  d.body -> 'args' AS args_json,
  d.fact AS policy_decision_json,
  d.fact ->> 'policy_version' AS policy_version,
  d.approval AS hitl_action_id,
  (SELECT a.body::json #>> '{decided,by}' FROM state a
     WHERE a.kind = 'approval' AND a.id = d.approval AND d.verdict <> 'escalate') AS hitl_decided_by,
  CASE WHEN d.verdict = 'escalate' THEN 'hitl_queued'
       WHEN d.verdict = 'allow' AND d.approval IS NOT NULL THEN 'hitl_approved'
       WHEN d.verdict = 'allow' THEN 'allowed'
       WHEN d.code = 'approval_denied' THEN 'hitl_denied'
       WHEN (d.fact ->> 'hard')::boolean THEN 'blocked'
       ELSE 'soft_denied' END AS outcome,
  d.body -> 'context' AS context_json,
  d.fact ->> 'risk_tier' AS risk_tier, d.verdict AS verdict, d.code AS code,
  d.body ->> 'reason' AS reason
FROM decided d LEFT JOIN outcome o ON o.decision = d.id
               LEFT JOIN asked ON asked.approval = d.approval
WHERE asked.last IS NULL OR asked.last = d.seq
ORDER BY d.seq;
