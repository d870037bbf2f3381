# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator: keeps what IstioOperator objects describe, with the playbooks of this collection as its engine.

Decisions are pure functions in C(crd), C(documents), C(drift), C(pace), C(status); C(handlers) ties them to kopf.
"""
