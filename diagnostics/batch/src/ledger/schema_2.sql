-- What a job runs, as far as it is known to hold no secret: the program, and of known tools what it is to do.
ALTER TABLE jobs ADD COLUMN command TEXT;
ALTER TABLE conflicts RENAME COLUMN mend TO help;
