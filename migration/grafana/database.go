package grafana

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver

	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/server"
)

// dbSource is a row of Grafana's table data_source.
type dbSource struct {
	id, org         int64
	uid, name, kind string
	url             string
}

// turned is what was found of data sources.
type turned struct {
	// sources are those that ask the users' Service now, by name and uid; others are prometheus data sources with another address.
	sources, others []string
	// loopback are data sources of any kind that mean the host on which Grafana runs.
	loopback []string
	// variables are those whose address is made of a variable.
	variables []string
}

func (t *turned) add(o turned) {
	t.sources, t.others = append(t.sources, o.sources...), append(t.others, o.others...)
	t.loopback, t.variables = append(t.loopback, o.loopback...), append(t.variables, o.variables...)
}

// notWhole is a database that cannot be used.
type notWhole struct{ error }

// Unwrap gives the cause.
func (e *notWhole) Unwrap() error { return e.error }

// turnDatabase opens a copy, checks every page of it, and gives the data sources that ask the old server the address of the users' Service.
func turnDatabase(ctx context.Context, file, source, users string) (t turned, err error) {
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(file), RawQuery: "_pragma=busy_timeout(5000)&_pragma=temp_store(2)"} // no folder for temporary files is needed
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return t, fmt.Errorf("opening the copy of the database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if err := whole(ctx, db); err != nil {
		return t, &notWhole{err}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return t, fmt.Errorf("changing the copy of the database: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing to roll back after the commit
	all, err := readSources(ctx, tx)
	if err != nil {
		return t, err
	}
	for _, s := range all {
		if !t.take(s, source, users) {
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE data_source SET url = ? WHERE id = ?", users, s.id); err != nil {
			return t, fmt.Errorf("giving data source %s its address: %w", server.Clip(s.uid, 40), err)
		}
	}
	if err := tx.Commit(); err != nil {
		return t, fmt.Errorf("changing the copy of the database: %w", err)
	}
	if _, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return t, fmt.Errorf("writing the copy of the database: %w", err)
	}
	return t, nil
}

// take judges one data source, and says whether it gets the address of the users' Service.
func (t *turned) take(s dbSource, source, users string) bool {
	name := fmt.Sprintf("%s (%s, organisation %d)", server.Clip(s.name, 60), server.Clip(s.uid, 40), s.org)
	at, ok := readAddress(s.url)
	switch {
	case s.kind == "prometheus" && (meansSource(s.url, source) || sameAddress(s.url, users)):
		t.sources = append(t.sources, name)
		return true
	case ok && at.loopback():
		t.loopback = append(t.loopback, name+" at "+shownAddress(s.url))
	case s.kind == "prometheus":
		t.others = append(t.others, name+" at "+shownAddress(s.url))
	}
	return false
}

// whole reads every page, and looks for the tables that a Grafana has.
func whole(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "PRAGMA integrity_check(5)")
	if err != nil {
		return fmt.Errorf("checking the copy of the database: %w", err)
	}
	defer func() { _ = rows.Close() }() // it was only read
	for rows.Next() {
		var says string
		if err := rows.Scan(&says); err != nil {
			return fmt.Errorf("checking the copy of the database: %w", err)
		}
		if says != "ok" {
			return fmt.Errorf("checking the copy of the database: %s", server.Clip(says, 200))
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("checking the copy of the database: %w", err)
	}
	for _, table := range []string{"migration_log", "org", "user", "dashboard", "data_source"} {
		var n int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", table).Scan(&n); err != nil || n != 1 {
			return errors.Join(fmt.Errorf("the copy has no table %s: it is no database of Grafana", table), err)
		}
	}
	return nil
}

func readSources(ctx context.Context, tx *sql.Tx) (all []dbSource, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, org_id, uid, name, type, url FROM data_source ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("reading the data sources: %w", err)
	}
	defer func() { _ = rows.Close() }() // it was only read
	for rows.Next() {
		var s dbSource
		if err := rows.Scan(&s.id, &s.org, &s.uid, &s.name, &s.kind, &s.url); err != nil {
			return nil, fmt.Errorf("reading the data sources: %w", err)
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// judge says what a person has to know of the data sources.
func (t *turned) judge(source, users string) (all []rule.Finding) {
	found := rule.Finding{Rule: RuleSourceFound, Verdict: rule.Fine, Says: fmt.Sprintf("%d data sources get the address %s: %s", len(t.sources), users, some(t.sources))}
	if len(t.sources) == 0 {
		found.Verdict = rule.Refused
		found.Says = fmt.Sprintf("no data source of type prometheus has the address of the old server, %s, or its port on the same host; others: %s", shownAddress(source), some(t.others))
		found.Fix = "give the data source the old server's address as spec.source.url has it; or let the rule pass, and give it " + users + " by hand"
	}
	all = append(all, found)
	if len(t.variables) > 0 {
		all = append(all, rule.Finding{Rule: RuleSourceFound, Verdict: rule.Look, Says: "addresses in the provisioning are made of variables: " + some(t.variables),
			Fix: "give the variables in the Secret of spec.grafana.settingsSecretName; that of the old server becomes " + users})
	}
	if len(t.loopback) > 0 {
		all = append(all, rule.Finding{Rule: RuleLoopback, Verdict: rule.Refused, Says: "the host itself is meant by the address of " + some(t.loopback) + ", and that is another one for a pod",
			Fix: "give it the name or the address of that host in the old Grafana, where it leads to the same; or let the rule pass"})
	}
	return all
}

// some are the first of a list.
func some(list []string) string {
	const most = 5
	text := ""
	for i, one := range list {
		if i == most {
			return text + fmt.Sprintf(" and %d more", len(list)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += one
	}
	if text == "" {
		return "none"
	}
	return text
}
