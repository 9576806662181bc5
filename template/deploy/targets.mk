##@ Kubernetes

.PHONY: manifests
manifests: ## Print what would be applied to a cluster (OVERLAY=prod)
	@kubectl kustomize deploy/kubernetes/overlays/$${OVERLAY:-prod}
