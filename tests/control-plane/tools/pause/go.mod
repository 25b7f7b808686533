module tools.invalid/controlplane/pause

go 1.26.0
