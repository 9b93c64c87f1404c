/** A model served by OpenAI's HTTP interface. */
module isonorm.serve {
    requires transitive isonorm.engine;

    requires com.fasterxml.jackson.core;
    requires com.fasterxml.jackson.databind;
    requires jdk.httpserver;
    requires static org.jspecify;

    exports isonorm.serve;
}
