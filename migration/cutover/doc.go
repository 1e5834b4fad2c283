// Package cutover is the moment at which people begin to look at the new Prometheus server: Grafana's data sources get its address,
// the sending of alerts and remote_write move from the source to the target, and all of it can be put back.
//
// Why can it be killed anywhere? Every step is looked at, written down with what was there before, done, checked and written down again.
// A step that was begun is looked at again: where its change is seen it is checked, where it is not it is made. Nothing is done twice.
//
// Why is no alert lost or told twice? Alertmanager knows an alert by its labels alone. The target begins to send while the source still
// does; only when Alertmanager was seen to hear every firing alert from the target is the source's section taken out, and then each of
// them must be refreshed by the target once more, or the section comes back. Labels that differ are refused before anything is changed.
//
// Why is the rollback exact? Files are kept whole before the first change and put back byte by byte, if nobody changed them meanwhile;
// else the rollback refuses by name and shows the difference. Source files are edited only with the approval of a person.
//
// It does not move data and does not prove that the target has it (migration/proof does), and it stops no server.
package cutover
