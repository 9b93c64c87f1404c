package isonorm.cli.commands;

import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import picocli.AutoComplete;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code isonorm completion}: what completes commands and options in a shell. */
@Command(
        name = "completion",
        description = "Print a script by which bash and zsh complete commands, options and their words.",
        footer = {
            "  isonorm completion > ~/.isonorm-completion    then, in ~/.bashrc:",
            "  source ~/.isonorm-completion",
            "  autoload -U +X bashcompinit && bashcompinit   in ~/.zshrc, before that"
        })
public final class Completion extends Subcommand {

    @Spec
    private CommandSpec spec;

    public Completion(Console console) {
        super(console);
    }

    @Override
    public Integer call() {
        String script = AutoComplete.bash("isonorm", spec.root().commandLine());
        if (json) {
            console.json(Json.object().put("script", script));
        } else {
            console.rawOut().print(script);
            console.rawOut().flush();
        }
        return DONE;
    }
}
