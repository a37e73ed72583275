// Command kube-apiserver is the Kubernetes API server, built from the Go module proxy for tests.
package main

import (
	"os"

	_ "time/tzdata" // timezone support in CronJob: the upstream binary carries it as well

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
