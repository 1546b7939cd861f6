/* resnet_edu explorers, MIT licence; made by `make widgets` from sources 0cf51964d0d6bdb881fc8d5bf513f6d0e8ab3351eac28727a690fe5fa93fd033 */
var e={render(){}};export{e as default};
