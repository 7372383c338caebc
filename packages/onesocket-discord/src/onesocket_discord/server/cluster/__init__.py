"""Several chat servers as one: events, sessions and limits that they share by Redis or Valkey."""

from ._cluster_node import ClusterNode

__all__ = ["ClusterNode"]
