/** What a person sees while a command runs: where it writes, progress, tables, and errors in one line. */
package isonorm.cli.terminal;
