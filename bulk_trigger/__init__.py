"""Trigger workflows in bulk through the EnOS API gateway: each flow in order, at your rate, once each."""
