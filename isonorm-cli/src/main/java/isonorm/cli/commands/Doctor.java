package isonorm.cli.commands;

import isonorm.cli.report.DoctorReport;
import isonorm.cli.terminal.Console;
import java.io.IOException;
import picocli.CommandLine.Command;

/** {@code isonorm doctor}: what this machine is, what Isonorm makes of it, and what to do about what is wrong or slow. */
@Command(
        name = "doctor",
        description = {
            "Show what a report of a bug should begin with: the processor, its instruction sets and who may use them, what "
                    + "computes and why nothing better does, memory and its bandwidth, native libraries, the JVM, and hints for "
                    + "what is wrong or slow.",
            "Takes some seconds, most of them for the bandwidth, which takes 256 MiB. Exit code 1 where nothing can be computed."
        },
        footer = {"  isonorm doctor", "  isonorm doctor --json > report.json"})
public final class Doctor extends Subcommand {

    public Doctor(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        announceUnpacking();
        DoctorReport report = DoctorReport.here();
        if (json) {
            console.json(report.json());
        } else {
            report.print(console);
        }
        return report.failed() ? FAILED : DONE;
    }
}
