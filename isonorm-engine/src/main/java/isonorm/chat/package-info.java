/** Conversations as the texts that a checkpoint was trained on: chat templates, and the part of Jinja that they are written in. */
@NullMarked
package isonorm.chat;

import org.jspecify.annotations.NullMarked;
