/** What users write: names that are nearly right, and numbers of blocks. */
package isonorm.words;
