/**
 * The {@code isonorm} command: one class for each subcommand below {@link isonorm.cli.Main}.
 *
 * <p>A command opens a checkpoint, asks isonorm-core or isonorm-engine to work, and puts the answer together as one JSON object,
 * which {@code --json} prints as it is and a table shows to a person. Results go to stdout, everything else to stderr.
 *
 * <p>Only {@link isonorm.cli.Equality} and {@link isonorm.cli.ForwardFiles} use the engine, so that commands which compute
 * nothing load no native library.
 */
package isonorm.cli;
