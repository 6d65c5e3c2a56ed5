/* Licences of the packages in this file: ../../client/vendor/ */
addEventListener("pageshow",e=>{e.persisted&&location.reload()});
