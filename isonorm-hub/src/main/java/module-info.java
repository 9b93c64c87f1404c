/** Models by name: fetched from the Hugging Face hub, or found in its cache on this machine. */
module isonorm.hub {
    requires transitive isonorm.core;

    requires com.fasterxml.jackson.core;
    requires com.fasterxml.jackson.databind;
    requires java.net.http;
    requires static org.jspecify;

    exports isonorm.hub;
}
