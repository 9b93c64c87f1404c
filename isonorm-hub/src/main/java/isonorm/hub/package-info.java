/** Fetches models by name into the cache that Python's tools have too: {@link isonorm.hub.Hub}. */
@org.jspecify.annotations.NullMarked
package isonorm.hub;
