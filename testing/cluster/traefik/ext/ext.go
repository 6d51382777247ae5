// Package ext stands for a package that is in Traefik's repository but in none of its published modules: fields that other builds of
// Traefik add to its configuration. There are none.
package ext

type HTTP struct{}

type Router struct{}
