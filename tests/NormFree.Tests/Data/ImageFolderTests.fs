module NormFree.Tests.Data.ImageFolderTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private limits = FileSet.defaultLimits
let private picture i = png (noise (RandomStream.OfKeys(int64 i)) 6 5)

/// Two classes with three training images and one test image each, in unsorted order.
let private entries =
    [ for split, count in [ "train", 3; "test", 1 ] do
          for label in [ "dog"; "cat" ] do
              for i in count .. -1 .. 1 -> $"{split}/{label}/{i}.png", picture (i + label.Length * 10 + int label[0]) ]

/// The entries as a folder, a zip, a tar and a tar.gz.
let private asFolder (folder: TempFolder) entries =
    for name: string, bytes in entries do
        if name.EndsWith '/' then
            Directory.CreateDirectory(folder.File("set/" + name)) |> ignore
        else
            folder.Write("set/" + name, bytes) |> ignore

    folder.File "set"

let private asZip (folder: TempFolder) entries =
    zip (folder.File "set.zip") entries
    folder.File "set.zip"

let private asTar (folder: TempFolder) entries = folder.Write("set.tar", tar entries)
let private asTarGz (folder: TempFolder) entries = folder.Write("set.tar.gz", gzip (tar entries))

let private containers = [ "folder", asFolder; "zip", asZip; "tar", asTar; "tar.gz", asTarGz ]

let private openEntries make entries check =
    use folder = new TempFolder()
    check (ImageFolder.openWith limits (make folder entries))

let private failing make entries parts = openEntries make entries (errors >> contains parts)

/// The labels, file names and images of a source.
let private content (source: ImageSource) =
    List.init source.Count (fun i -> source.Label i, FileSet.fileName (source.Name i), ok (source.Load i))

let tests =
    testList
        "image folders"
        [ for kind, make in containers do
              test $"a {kind} has sorted classes and every image" {
                  openEntries make entries (fun result ->
                      let classes, train, test = ok result
                      Expect.equal classes [| "cat"; "dog" |] "classes"
                      Expect.equal (train.Count, test.Count) (6, 2) "counts"
                      checkSource 2 train

                      let expected =
                          [ for label, name in List.indexed [ "cat"; "dog" ] do
                                for i in 1..3 ->
                                    let bytes =
                                        entries |> List.find (fun (entry, _) -> entry = $"train/{name}/{i}.png") |> snd

                                    label, $"{i}.png", ok (Decode.image bytes) ]

                      Expect.equal (content train) expected "labels, names, images")
              }

              test $"a {kind} can be read by many threads" {
                  openEntries make entries (fun result ->
                      let _, train, _ = ok result
                      let expected = Array.init train.Count (train.Load >> ok)
                      let read = Array.Parallel.init 400 (fun i -> ok (train.Load(i % train.Count)))
                      read |> Array.iteri (fun i image -> Expect.equal image expected[i % train.Count] "the image"))
              }

              test $"a {kind} without a test split is an error" {
                  failing
                      make
                      (entries |> List.filter (fun (name, _) -> name.StartsWith "train"))
                      [ "'test/<class>/'"; "'val/<class>/'" ]
              }

              test $"a {kind} whose splits have different classes is an error that lists them" {
                  let more = ("test/bird/1.png", picture 1) :: ("train/emu/1.png", picture 2) :: entries
                  failing make more [ "'train' lacks classes of 'test': bird"; "'test' lacks classes of 'train': emu" ]
              }

              test $"a {kind} with an empty class is an error that names it" {
                  failing
                      make
                      (("train/emu/", [||]) :: ("test/emu/1.png", picture 1) :: entries)
                      [ "train/emu"; "no images" ]
              }

              test $"a {kind} may contain the splits inside a folder, and other files" {
                  let nested =
                      ("README.md", "hello"B)
                      :: ("deep/notes.txt", "x"B)
                      :: [ for name, bytes in entries -> "deep/" + name, bytes ]

                  openEntries make nested (fun result ->
                      let _, train, test = ok result
                      Expect.equal (train.Count, test.Count) (6, 2) "counts")
              }

          test "two data sets in one folder are not mixed" {
              let two =
                  [ for name, bytes in entries do
                        "first/" + name, bytes
                        "second/" + name, bytes ]

              failing asFolder two [ "several data sets"; "first/train"; "second/train"; "first/test" ]
          }

          test "val and validation are test splits, and extensions may be upper case" {
              for split in [ "val"; "validation" ] do
                  let renamed =
                      [ for name, bytes in entries -> name.Replace("test/", split + "/").Replace(".png", ".PNG"), bytes ]

                  openEntries asTar renamed (fun result ->
                      let _, _, test = ok result
                      Expect.equal test.Count 2 split)
          }

          test "metadata files of macOS are ignored" {
              let more = ("__MACOSX/train/cat/x.png", "x"B) :: ("train/cat/._1.png", "x"B) :: entries

              openEntries asZip more (fun result ->
                  let _, train, _ = ok result
                  Expect.equal train.Count 6 "images")
          }

          test "an undecodable image is an error with its name when it is read" {
              openEntries asZip (("train/cat/9.jpg", "no image"B) :: entries) (fun result ->
                  let _, train, _ = ok result
                  let bad = Seq.init train.Count id |> Seq.filter (fun i -> (train.Load i).IsError) |> Seq.exactlyOne
                  contains [ "set.zip"; "train/cat/9.jpg" ] (train.Name bad))
          }

          for name in [ "../train/cat/1.png"; "/etc/cat/1.png"; "train/../../x.png"; "..\\train\\x.png" ] do
              for kind, make in [ "zip", asZip; "tar", asTar; "tar.gz", asTarGz ] do
                  test $"a {kind} with the entry {name} is rejected" {
                      failing make ((name, picture 1) :: entries) [ name; "outside the archive" ]
                  }

          for kind, make in [ "zip", asZip; "tar", asTar; "tar.gz", asTarGz ] do
              test $"a truncated {kind} is an error" {
                  use folder = new TempFolder()
                  let path: string = make folder entries
                  let bytes = File.ReadAllBytes path

                  for share in [ 0; 1; 30; 60; 85 ] do
                      File.WriteAllBytes(path, Array.truncate (bytes.Length * share / 100) bytes)

                      let said =
                          match share, kind with
                          | 0, ("zip" | "tar") -> "it is empty"
                          | 1, "tar" -> "no supported kind" // the mark of a tar is its 257th byte
                          | _ -> "truncated or damaged"

                      contains [ path; said ] (errors (ImageFolder.openWith limits path))
              }

              testPropertyWithConfig
                  { FsCheckConfig.defaultConfig with maxTest = 60 }
                  $"a damaged {kind} gives images or errors, never an exception"
              <| fun (seed: int) ->
                  use folder = new TempFolder()
                  let path: string = make folder entries
                  File.WriteAllBytes(path, mutate seed (File.ReadAllBytes path))

                  match ImageFolder.openWith limits path with
                  | Error _ -> ()
                  | Ok(_, train, test) ->
                      for source in [ train; test ] do
                          for i in 0 .. source.Count - 1 do
                              source.Load i |> ignore

          test "a zip entry with an impossible length is rejected before anything is allocated" {
              use folder = new TempFolder()
              let path = folder.File "set.zip"
              zip path (("train/cat/bomb.png", randomBytes 1 77_777) :: entries)
              let bytes = File.ReadAllBytes path
              let stated = BitConverter.GetBytes 77_777

              for at in 0 .. bytes.Length - 4 do
                  if Span(bytes, at, 4).SequenceEqual(ReadOnlySpan stated) then
                      Array.blit (BitConverter.GetBytes 400_000_000) 0 bytes at 4

              File.WriteAllBytes(path, bytes)
              let _, train, _ = ok (ImageFolder.openWith limits path)
              let bomb = Seq.init train.Count id |> Seq.find (fun i -> (train.Name i).EndsWith "bomb.png")
              let before = GC.GetAllocatedBytesForCurrentThread()
              contains [ "400000000 bytes" ] (error (train.Load bomb))
              Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 1_000_000L "allocated"
          }

          test "a tar without its end mark is an error" {
              use folder = new TempFolder()
              // The end mark is two zero blocks.
              let bytes = tar entries
              let path = folder.Write("set.tar", Array.truncate (bytes.Length - 1024) bytes)
              contains [ "end mark" ] (errors (ImageFolder.openWith limits path))
          }

          for kind, make in containers do
              test $"a {kind} above the limits on entries or file size is rejected" {
                  use folder = new TempFolder()
                  let path: string = make folder entries
                  contains [ "more than 5 files" ] (errors (ImageFolder.openWith { limits with Entries = 5 } path))

                  match ImageFolder.openWith { limits with EntryBytes = 20L } path with
                  | Error problems -> contains [ "too large" ] (errors (Error problems))
                  | Ok(_, train, _) -> contains [ "20"; "the limit is 20" ] (error (train.Load 0))
              }

          test "a zip entry that decompresses to more than its stated length is read only up to that length" {
              use folder = new TempFolder()
              let path = folder.File "set.zip"
              zip path (("train/cat/bomb.png", Array.zeroCreate 5_000_000) :: entries)
              let bytes = File.ReadAllBytes path
              // Replaces the length in both headers.
              let stated = BitConverter.GetBytes 5_000_000

              for at in 0 .. bytes.Length - 4 do
                  if Span(bytes, at, 4).SequenceEqual(ReadOnlySpan stated) then
                      Array.blit (BitConverter.GetBytes 5) 0 bytes at 4

              File.WriteAllBytes(path, bytes)
              let _, train, _ = ok (ImageFolder.openWith limits path)
              let before = GC.GetAllocatedBytesForCurrentThread()
              let bomb = Seq.init train.Count id |> Seq.find (fun i -> (train.Name i).EndsWith "bomb.png")
              train.Load bomb |> error |> ignore
              Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 1_000_000L "allocated"
          }

          test "a missing path and a file that is not an archive are errors" {
              use folder = new TempFolder()
              contains [ "nowhere"; "no such file" ] (errors (ImageFolder.openWith limits (folder.File "nowhere")))
              contains [ "x.txt"; ".zip" ] (errors (ImageFolder.openWith limits (folder.Write("x.txt", "x"B))))
          } ]
