"""Made by scripts/generate-wire from wire/schema/edgewise.fbs; do not edit."""
