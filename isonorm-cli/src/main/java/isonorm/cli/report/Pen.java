package isonorm.cli.report;

import java.io.StringWriter;
import javax.xml.stream.XMLOutputFactory;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamWriter;

/** Writes elements with attributes given as names and values in turn; places to a hundredth. */
record Pen(XMLStreamWriter xml) {

    /** Draws an image. */
    @FunctionalInterface
    interface Drawing {
        void draw(Pen pen) throws XMLStreamException;
    }

    /** The text of an image. */
    static String svg(Drawing drawing) {
        StringWriter text = new StringWriter();
        try {
            XMLStreamWriter xml = XMLOutputFactory.newInstance().createXMLStreamWriter(text);
            drawing.draw(new Pen(xml));
            xml.close();
        } catch (XMLStreamException e) {
            throw new IllegalStateException(e); // a string can always be written to
        }
        return text + "\n";
    }

    void open(String element, Object... attributes) throws XMLStreamException {
        xml.writeStartElement(element);
        attributes(attributes);
        xml.writeCharacters("\n");
    }

    void close() throws XMLStreamException {
        xml.writeEndElement();
        xml.writeCharacters("\n");
    }

    void empty(String element, Object... attributes) throws XMLStreamException {
        xml.writeEmptyElement(element);
        attributes(attributes);
        xml.writeCharacters("\n");
    }

    void text(String element, String text, Object... attributes) throws XMLStreamException {
        xml.writeStartElement(element);
        attributes(attributes);
        xml.writeCharacters(text);
        close();
    }

    private void attributes(Object... attributes) throws XMLStreamException {
        for (int a = 0; a < attributes.length; a += 2) {
            Object value = attributes[a + 1] instanceof Double place ? Math.round(100 * place) / 100.0 : attributes[a + 1];
            xml.writeAttribute(attributes[a].toString(), value.toString());
        }
    }
}
