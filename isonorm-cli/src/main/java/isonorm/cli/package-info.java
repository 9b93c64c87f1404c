/**
 * The {@code isonorm} command: one class for each subcommand below {@link isonorm.cli.Main}.
 *
 * <p>A command opens a checkpoint, asks isonorm-core or isonorm-engine to work, and puts the answer together as one JSON object,
 * which {@code --json} prints as it is and a table shows to a person. Results go to stdout, everything else to stderr.
 *
 * <p>Only {@link isonorm.cli.Equality}, {@link isonorm.cli.ForwardFiles} and {@link isonorm.cli.Continued} use the engine, so that
 * commands which compute nothing load no native library.
 */
package isonorm.cli;
