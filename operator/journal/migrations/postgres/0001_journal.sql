-- Who may write: one row, bumped by each takeover.
CREATE TABLE fence (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL,
    holder TEXT NOT NULL,
    lease_uid TEXT NOT NULL,
    transitions BIGINT NOT NULL
);

INSERT INTO fence (id, epoch, holder, lease_uid, transitions) VALUES (1, 0, '', '', 0);

-- What happened, in the order in which it was appended. Times are Unix seconds.
CREATE TABLE journal (
    sequence BIGINT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    subscription TEXT NOT NULL,
    uid TEXT NOT NULL,
    operation BIGINT NOT NULL,
    subject TEXT NOT NULL,
    item TEXT NOT NULL,
    outcome TEXT NOT NULL,
    plan TEXT NOT NULL,
    application TEXT NOT NULL,
    version TEXT NOT NULL,
    blueprint TEXT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT NOT NULL,
    machine_seconds BIGINT NOT NULL,
    people_seconds BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    actor TEXT NOT NULL,
    evidence TEXT NOT NULL
);

CREATE INDEX journal_of_subscription ON journal (subscription, sequence);
CREATE INDEX journal_of_tenant ON journal (tenant, sequence);
-- In the order in which samples are taken.
CREATE INDEX journal_done ON journal (application, version, plan, item, ended_at DESC, sequence DESC)
    WHERE subject = 'Item' AND outcome = 'Done';
CREATE INDEX journal_completed ON journal (ended_at, sequence)
    WHERE subject = 'Operation' AND outcome = 'Completed';

CREATE FUNCTION journal_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only';
END;
$$;

CREATE TRIGGER journal_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
FOR EACH STATEMENT EXECUTE FUNCTION journal_keeps();
