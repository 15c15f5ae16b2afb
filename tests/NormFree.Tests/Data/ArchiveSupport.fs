/// Archives with a picture, and what is expected of hostile ones.
module NormFree.Tests.Data.ArchiveSupport

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let limits = FileSet.defaultLimits

let openAll = Archive.openWith limits (fun _ -> true)

let picture = png (noise (RandomStream.OfKeys 1L) 6 5)

let image = "train/cat/1.png", picture

let kinds =
    [ "zip",
      (fun (folder: TempFolder) entries ->
          zip (folder.File "set.zip") entries
          folder.File "set.zip")
      "tar", (fun folder entries -> folder.Write("set.tar", tar entries))
      "tar.gz", (fun folder entries -> folder.Write("set.tar.gz", gzip (tar entries))) ]

/// An action's result, and the bytes of managed memory that it allocated.
let allocating action =
    let before = GC.GetAllocatedBytesForCurrentThread()
    let result = action ()
    result, GC.GetAllocatedBytesForCurrentThread() - before

let rejects make entries parts =
    use folder = new TempFolder()
    contains parts (error (openAll (make folder entries)))
