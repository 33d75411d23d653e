/* Copying, removing and measuring whole trees. */
