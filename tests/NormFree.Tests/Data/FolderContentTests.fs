/// Formats, sizes and stray files in image folders.
module NormFree.Tests.Data.FolderContentTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private fixture name = File.ReadAllBytes(Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "images", name))

let private picture width height = png (noise (RandomStream.OfKeys 1L) width height)

/// Both splits with the same files in each class.
let private both classes (files: (string * byte[]) list) =
    [ for split in [ "train"; "test" ] do
          for label in classes do
              for name, bytes in files -> $"{split}/{label}/{name}", bytes ]

/// Writes the files below the folder. The folder has to outlive the images.
let private write (folder: TempFolder) entries =
    for name: string, bytes: byte[] in entries do
        folder.Write("set/" + name, bytes) |> ignore

    folder.File "set"

let private read folder options entries = ImageFolder.openPath FileSet.defaultLimits options (write folder entries)

let private load folder options entries = Catalogue.load ImageFolder (Some(write folder entries)) options

let private leftOut (images: FolderImages) = images.LeftOut |> List.map string |> String.concat "\n"

/// The preprocessed images of a source at the data set's size.
let private loadAll (dataset: Dataset) =
    let options = { Loader.testing dataset 64 with Strict = true }
    Loader.read options dataset.Train (Loader.inOrder dataset.Train.Count) |> Seq.sumBy _.Count

let private formats =
    [ test "JPEG, PNG, WebP, BMP and GIF are read under each of their extensions" {
          use folder = new TempFolder()

          let files =
              [ for extension, fixtureName in
                    [ ".jpg", "rgb.jpg"
                      ".jpeg", "rgb.jpg"
                      ".jpe", "rgb.jpg"
                      ".jfif", "rgb.jpg"
                      ".JPEG", "rgb.jpg"
                      ".Jfif", "rgb.jpg"
                      ".png", "rgb.png"
                      ".PNG", "rgb.png"
                      ".webp", "picture.webp"
                      ".WEBP", "picture.webp"
                      ".bmp", "picture.bmp"
                      ".dib", "picture.bmp"
                      ".gif", "animated.gif"
                      ".tif", "rgb.tif"
                      ".TIFF", "lzw.tif" ] -> $"image-of{extension.Substring 1}{extension}", fixture fixtureName ]

          let images = ok (read folder ImageFolder.defaults (both [ "cat"; "dog" ] files))
          Expect.equal images.Train.Count (2 * files.Length) "all are read"
          Expect.isEmpty images.LeftOut "nothing is left out"
          checkSource 2 images.Train
      }

      test "the content of a file decides its format" {
          use folder = new TempFolder()

          let files =
              [ "a.jpg", fixture "picture.webp"
                "b.jpg", fixture "rgb.png"
                "c.png", fixture "animated.gif"
                "d.png", fixture "rgb.jpg" ]

          checkSource 2 (ok (read folder ImageFolder.defaults (both [ "cat"; "dog" ] files))).Train
      }

      test "images in subfolders of a class belong to the class" {
          use folder = new TempFolder()
          let files = [ "1.png", picture 6 5; "more/2.png", picture 6 5; "more/again/3.png", picture 6 5 ]
          let images = ok (read folder ImageFolder.defaults (both [ "cat"; "dog" ] files))

          Expect.equal
              (images.Classes, images.Train.Count, images.Test.Value.Count)
              ([| "cat"; "dog" |], 6, 6)
              "as torchvision"
      }

      test "unsupported formats, other files and images outside of classes are named and counted" {
          use folder = new TempFolder()

          let files =
              [ "1.png", picture 6 5; "2.png", picture 6 5; "t.jp2", fixture "picture.jp2"; "notes.txt", "x"B ]

          let images =
              ok (read folder ImageFolder.defaults (("train/stray.png", picture 6 5) :: both [ "cat"; "dog" ] files))

          let text = leftOut images
          contains [ "2 files are left out: images of the format .jp2"; "train/cat/t.jp2"; "Convert" ] text
          contains [ "no extension of an image"; "train/cat/notes.txt" ] text
          contains [ "1 file is left out: the image is in no class folder"; "train/stray.png" ] text
      }

      test "more than half of a class in unsupported formats is an error unless it is asked for" {
          use folder = new TempFolder()
          let files = [ "1.png", picture 6 5; "a.jp2", fixture "picture.jp2"; "b.JP2", fixture "picture.jp2" ]
          let entries = both [ "cat"; "dog" ] files

          contains
              [ "train/cat"; "2 of 3"; ".jp2"; "--allow-left-out" ]
              (errors (read folder ImageFolder.defaults entries))

          let images = ok (read folder { ImageFolder.defaults with AllowLeftOut = true } entries)
          Expect.equal images.Train.Count 2 "the others"
      }

      test "a class of unsupported formats alone is an error that names them" {
          use folder = new TempFolder()

          let entries =
              both [ "cat" ] [ "1.png", picture 6 5 ] @ both [ "dog" ] [ "1.jp2", fixture "picture.jp2" ]

          contains [ "train/dog"; ".jp2"; "Convert" ] (errors (read folder ImageFolder.defaults entries))
      } ]

let private sizes =
    [ test "one small image that sorts first does not decide the size" {
          use folder = new TempFolder()
          let files = ("0.png", picture 32 32) :: [ for i in 1..7 -> $"{i}.png", picture 60 40 ]
          let dataset = ok (load folder Catalogue.defaults (both [ "cat"; "dog" ] files))
          Expect.equal dataset.Size 224 "as most images"
          Expect.equal (loadAll dataset) 16 "all images are read"
          contains [ "32×32"; "60×40"; "224" ] (String.concat "\n" dataset.Notes)
      }

      test "one large image that sorts first does not either, and is resized" {
          use folder = new TempFolder()
          let files = ("0.png", picture 300 200) :: [ for i in 1..7 -> $"{i}.png", picture 32 32 ]
          let dataset = ok (load folder Catalogue.defaults (both [ "cat"; "dog" ] files))
          Expect.equal dataset.Size 32 "as most images"
          Expect.equal (loadAll dataset) 16 "all images are read"
      }

      for side, size in [ 28, 32; 32, 32; 48, 48; 64, 64; 65, 224 ] do
          test $"images of {side}×{side} are read at {size}×{size}" {
              use folder = new TempFolder()
              let dataset = ok (load folder Catalogue.defaults (both [ "cat"; "dog" ] [ "1.png", picture side side ]))
              Expect.equal dataset.Size size "by default"
              Expect.equal (loadAll dataset) 2 "all images are read"

              let given =
                  ok (
                      load
                          folder
                          { Catalogue.defaults with Size = Some 40 }
                          (both [ "cat"; "dog" ] [ "1.png", picture side side ])
                  )

              Expect.equal (given.Size, loadAll given) (40, 2) "as given"
          }

      test "a class of which more than half cannot be read is an error unless it is asked for" {
          use folder = new TempFolder()
          let files = [ "1.png", picture 40 40; "2.png", "<html>403</html>"B; "3.png", [||] ]
          let entries = both [ "cat" ] [ "1.png", picture 40 40 ] @ both [ "dog" ] files

          contains
              [ "class dog"; "2 of 3"; "2.png"; "web page"; "--allow-left-out" ]
              (errors (load folder Catalogue.defaults entries))

          let allowed = { Catalogue.defaults with Folder = { ImageFolder.defaults with AllowLeftOut = true } }
          Expect.equal (ok (load folder allowed entries)).Size 40 "accepted"
      }

      test "class names of a folder come from a file" {
          use folder = new TempFolder()
          let names = folder.Write("names.txt", "Katze\nHund\n"B)
          let entries = both [ "cat"; "dog" ] [ "1.png", picture 6 5 ]
          let dataset = ok (load folder { Catalogue.defaults with ClassNames = Some names } entries)
          Expect.equal dataset.Classes [| "Katze"; "Hund" |] "names"
          let few = folder.Write("few.txt", "Katze"B)

          contains
              [ "few.txt"; "1 names"; "2 classes" ]
              (errors (load folder { Catalogue.defaults with ClassNames = Some few } entries))
      } ]

let tests = testList "folder contents" [ testList "formats" formats; testList "sizes" sizes ]
