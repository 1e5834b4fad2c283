// Package grafana brings the data of an old Grafana to a new one, and compares both by their API. It starts and stops neither.
//
// Is a copy of a database that is written a database? It is taken through SQLite's own online backup on the old host, by sqlite3 or
// Python. Where neither is there, file and write-ahead log are copied and read again, until both are what was copied and no
// transaction was under way. In any case the copy is opened, checked and used here before anything becomes of it.
//
// What does the old host see? Reads, and a private folder in /var/tmp with the copy, which the script takes away when it ends, also when
// the connection ended it. What a script left that was killed, the next one takes away.
//
// What may never be seen? Passwords of data sources stand in the database and in the provisioning. Neither is told in a finding, an error
// or a log: names, uids and addresses without user and password are.
package grafana
