-- Fails if a session of the tests is left in this database. The server may need a moment to notice a closed one.
DO $$
DECLARE
    left_behind text;
BEGIN
    FOR attempt IN 1..100 LOOP
        PERFORM pg_stat_clear_snapshot();
        SELECT string_agg(format('%s %s: %s', pid, application_name, query), E'\n') INTO left_behind
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid();
        EXIT WHEN left_behind IS NULL;
        PERFORM pg_sleep(0.05);
    END LOOP;
    IF left_behind IS NOT NULL THEN
        RAISE EXCEPTION 'sessions left behind: %', left_behind;
    END IF;
END
$$
