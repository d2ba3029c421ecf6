// kube-apiserver, as its own module's command builds it: cmd/kube-apiserver itself cannot be installed from outside its
// repository, since its go.mod replaces modules by folders.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
