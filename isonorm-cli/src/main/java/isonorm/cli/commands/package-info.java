/**
 * One class for each subcommand. It opens a checkpoint, asks isonorm-core or isonorm-engine to work, and puts the answer together.
 *
 * <p>What uses the engine stands apart from the commands, in {@link isonorm.cli.commands.Equality}, {@link isonorm.cli.commands.ForwardFiles},
 * {@link isonorm.cli.commands.Continued} and others, so that commands which compute nothing load no native library.
 */
package isonorm.cli.commands;
