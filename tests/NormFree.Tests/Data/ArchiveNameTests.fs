/// Names and links in archives.
module NormFree.Tests.Data.ArchiveNameTests

open System
open System.IO
open System.IO.Compression
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support
open NormFree.Tests.Data.ArchiveSupport

let names =
    [ for kind, make in kinds do
          for name in [ "../x.png"; "/etc/x.png"; "a/../../x.png"; "..\\x.png"; "C:\\x.png"; "c:/x.png" ] do
              test $"{kind}: the name {name} is rejected" {
                  rejects make [ image; name, picture ] [ "x.png"; "outside the archive" ]
              }

          test $"{kind}: a duplicate name is rejected, in any spelling" {
              for again in [ "train/cat/1.png"; "./train/cat/1.png"; "train//cat/./1.png"; "train\\cat\\1.png" ] do
                  rejects make [ image; again, picture ] [ "the entry 'train/cat/1.png' twice" ]
          }

          test $"{kind}: the depth of folders and the length of paths are limited" {
              let deep = String.replicate 40 "d/" + "x.png"
              use folder = new TempFolder()
              let path: string = make folder [ image; deep, picture ]
              contains [ "40 folders deep"; "32 folders" ] (error (openAll path))
              let few = { limits with Depth = 100; PathLength = 50 }
              contains [ "85 characters"; "50 characters" ] (error (Archive.openWith few (fun _ -> true) path))
          }

          test $"{kind}: a class folder is found in any spelling of its path" {
              use folder = new TempFolder()
              let again = [ "./train//dog/./1.png", picture; "test/cat/1.png", picture; "test/dog/1.png", picture ]
              let classes, train, _ = ok (ImageFolder.openWith limits (make folder (image :: again)))
              Expect.equal (classes, train.Count) ([| "cat"; "dog" |], 2) "classes and images"
          } ]

/// A tar of files and links.
let private tarOfLinks kind files links =
    use target = new MemoryStream()

    using (new Formats.Tar.TarWriter(target, Formats.Tar.TarEntryFormat.Pax, true)) (fun writer ->
        for name, bytes: byte[] in files do
            let entry = Formats.Tar.PaxTarEntry(Formats.Tar.TarEntryType.RegularFile, name)
            entry.DataStream <- new MemoryStream(bytes)
            writer.WriteEntry entry

        for name in links do
            writer.WriteEntry(Formats.Tar.PaxTarEntry(kind, name, LinkName = "/etc/passwd")))

    target.ToArray()

let private zipOfLinks path files links =
    zip path files
    use archive = ZipFile.Open(path, ZipArchiveMode.Update)

    for name: string in links do
        let entry = archive.CreateEntry name
        entry.ExternalAttributes <- 0o120777 <<< 16
        use stream = entry.Open()
        stream.Write(ReadOnlySpan "/etc/passwd"B)

/// A writer for each kind of link and archive.
let private linkKinds =
    [ for kind in [ Formats.Tar.TarEntryType.SymbolicLink; Formats.Tar.TarEntryType.HardLink ] do
          let tar = tarOfLinks kind
          $"{kind} in a tar", (fun (folder: TempFolder) files links -> folder.Write("set.tar", tar files links))
          $"{kind} in a tar.gz", (fun folder files links -> folder.Write("set.tar.gz", gzip (tar files links)))
      "link in a zip",
      (fun folder files links ->
          zipOfLinks (folder.File "set.zip") files links
          folder.File "set.zip") ]

let links =
    [ for kind, make in linkKinds do
          test $"a {kind} is not followed: it is an unreadable image" {
              use folder = new TempFolder()
              let set = ok (openAll (make folder [] [ "train/cat/2.png" ]))
              Expect.equal set.Files [| "train/cat/2.png" |] "it is listed"
              contains [ "2.png"; "link"; "--dereference" ] (error (set.Read 0))
          }

          test $"a {kind} that replaces a class is rejected, even in both splits" {
              use folder = new TempFolder()
              let path = make folder [ image; "test/cat/1.png", picture ] [ "train/dog"; "test/dog" ]
              let text = errors (ImageFolder.openWith limits path)
              contains [ $"{path}/train/dog"; $"{path}/test/dog"; "link"; "--dereference" ] text
          }

          test $"a {kind} that replaces a split is rejected, even if there is another test split" {
              use folder = new TempFolder()
              let path = make folder [ image; "val/cat/1.png", picture ] [ "test" ]
              contains [ $"{path}/test"; "link" ] (errors (ImageFolder.openWith limits path))
          }

          test $"a {kind} next to the splits or inside a class does not matter" {
              use folder = new TempFolder()
              let path = make folder [ image; "test/cat/1.png", picture ] [ "latest"; "train/cat/about" ]
              let classes, train, _ = ok (ImageFolder.openWith limits path)
              Expect.equal (classes, train.Count) ([| "cat" |], 1) "classes and images"
          }

          test $"a {kind} with a split's name elsewhere does not matter" {
              for root in [ ""; "deep/" ] do
                  use folder = new TempFolder()
                  let links = [ "docs/test"; "scripts/val/run.sh"; $"{root}train/cat/test"; "old/train/cat" ]
                  let path = make folder [ root + fst image, picture; $"{root}test/cat/1.png", picture ] links
                  let classes, train, _ = ok (ImageFolder.openWith limits path)
                  Expect.equal (classes, train.Count) ([| "cat" |], 1) $"classes and images in '{root}'"
          }

          test $"a {kind} that replaces a class or split in a nested data set is rejected" {
              use folder = new TempFolder()
              let path = make folder [ "deep/" + fst image, picture ] [ "deep/test"; "deep/train/dog" ]
              contains [ $"{path}/deep/test"; $"{path}/deep/train/dog" ] (errors (ImageFolder.openWith limits path))
          }

          test $"a {kind} that replaces every split is rejected at any depth" {
              use folder = new TempFolder()
              let path = make folder [ "notes.txt", picture ] [ "deep/train"; "deep/test" ]
              contains [ $"{path}/deep/train"; $"{path}/deep/test" ] (errors (ImageFolder.openWith limits path))
          }

          test $"ten of many class folders replaced by a {kind} are named, the others are counted" {
              use folder = new TempFolder()
              let path = make folder [ image; "test/cat/1.png", picture ] [ for i in 1..13 -> $"train/dog{i}" ]

              match ImageFolder.openWith limits path with
              | Ok _ -> failtest "expected errors"
              | Error problems ->
                  Expect.hasLength problems 11 "ten links and a count"
                  contains [ "3 more"; "--dereference" ] (string (List.last problems))
          } ]
