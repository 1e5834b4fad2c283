package schemagen
