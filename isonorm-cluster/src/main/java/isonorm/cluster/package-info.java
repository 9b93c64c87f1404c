/** Processes that speak to each other by gloo. */
package isonorm.cluster;
