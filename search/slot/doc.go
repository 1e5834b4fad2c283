// Package slot reads the time slot out of an index name, and tells the names of slots to come. It is pure.
//
// Why not the creation date? Indices that are made ahead share one, and a restored or shrunk index has a new one: ages counted from it make a
// day's indices due at once. The name says which time the documents are of.
//
// Why no zone with daylight saving? On one day a year two hours have the same name, on another a name has no hour. Such a zone is refused;
// UTC is what Logstash and Beats write names in anyway.
package slot
