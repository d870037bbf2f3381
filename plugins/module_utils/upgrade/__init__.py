# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks and completes upgrades of the control plane and the data plane.

This package is private to the collection: its names may change in any release.
"""
