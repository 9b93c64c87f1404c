package isonorm.serve;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;

/** Why a request is not answered as asked, in OpenAI's form. It says what its sender may know, and nothing of the server's own. */
final class Refusal extends Exception {

    private static final long serialVersionUID = 1L;

    private final int status;
    private final String type;
    private final String param;
    private final String code;

    private Refusal(int status, String type, String param, String code, String message) {
        super(message, null, false, false);
        this.status = status;
        this.type = type;
        this.param = param;
        this.code = code;
    }

    /** What was asked for makes no sense, or is not to be had. */
    static Refusal of(String param, String message) {
        return new Refusal(400, "invalid_request_error", param, "", message);
    }

    static Refusal of(int status, String code, String message) {
        return new Refusal(status, status == 401 ? "authentication_error" : status == 429 || status >= 500 ? "server_error" : "invalid_request_error", "", code, message);
    }

    int status() {
        return status;
    }

    ObjectNode json() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        ObjectNode error = json.putObject("error");
        error.put("message", getMessage());
        error.put("type", type);
        putOrNull(error, "param", param);
        putOrNull(error, "code", code);
        return json;
    }

    private static void putOrNull(ObjectNode into, String name, String value) {
        if (value.isEmpty()) {
            into.putNull(name);
        } else {
            into.put(name, value);
        }
    }
}
