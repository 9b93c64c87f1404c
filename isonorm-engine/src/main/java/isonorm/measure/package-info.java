/**
 * How fast models run: the forms of one model beside each other, and one model beside what memory can give.
 *
 * <p>The models are of known shapes, with random weights. What is compared runs in turn in one process, so that whatever else
 * the machine does hits all alike. {@link isonorm.measure.Machine} says what it all ran on.
 */
package isonorm.measure;
