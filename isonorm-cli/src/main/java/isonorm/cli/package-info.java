/**
 * The {@code isonorm} command: {@link isonorm.cli.Main} with its commands, exit codes and errors.
 *
 * <p>{@code commands} has one class for each subcommand and what it asks the library for; {@code report} shows answers, as tables, pages
 * with plots and files; {@code watch} follows runs on a live page; {@code terminal} writes to stdout and stderr. Commands use the other
 * three, {@code watch} uses {@code report}, and everything uses {@code terminal}.
 *
 * <p>A command puts its answer together as one JSON object, which {@code --json} prints as it is and a table shows to a person. Results
 * go to stdout, everything else to stderr.
 */
package isonorm.cli;
