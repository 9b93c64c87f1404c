/**
 * Answers as people read them and as files: tables, pages with plots that work offline, SVG, CSV, JSON. A file is complete or not there.
 */
package isonorm.cli.report;
