/** A page for this machine's browser that follows runs as they train: what their files say, the plots of it, and who answers the browser. */
package isonorm.cli.watch;
