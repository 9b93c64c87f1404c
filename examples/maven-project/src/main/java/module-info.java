/** Uses Isonorm as a module. */
module example {
    requires isonorm.engine;
}
