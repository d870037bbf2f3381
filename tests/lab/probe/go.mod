module meshops.istio/probe

go 1.26
