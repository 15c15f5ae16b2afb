/// The study of few images: which images it takes, and its page.
module NormFree.Tests.Experiments.FewImagesTests

open Expecto
open NormFree.Experiments
open NormFree.Tests.Data.Support

let private settings = { Classes = [ "fish"; "saw" ]; Train = 2; Test = 1; Seeds = 2; Page = "page.md" }

let private result variant seed top1 =
    { Variant = variant; Seed = seed; Top1 = top1; Processor = 100.0; Machine = "a processor, avx2" }

let private results better =
    [ result "random weights" 1 0.7
      result "random weights" 2 0.72
      result "the zoo's network" 1 better
      result "the zoo's network" 2 (better + 0.01) ]

let tests =
    testList
        "few images"
        [ test "the first images of each class are taken, and no others" {
              let entries =
                  [ for split in [ "train"; "val" ] do
                        for label in [ "saw"; "dog"; "fish" ] do
                            for name in [ "c"; "a"; "b" ] -> $"{split}/{label}/{name}.jpg" ]

              Expect.equal
                  (FewImages.chosen settings entries |> Map.toList |> List.map snd |> List.sort)
                  [ "flat/fish/a.jpg"
                    "flat/fish/b.jpg"
                    "flat/saw/a.jpg"
                    "flat/saw/b.jpg"
                    "unseen/fish/a.jpg"
                    "unseen/saw/a.jpg" ]
                  "files"
          }

          test "processor time is the sum of user and system time of the children" {
              let output = "results\n0m0.01s 0m0.02s\n2m3.50s 0m1.25s\n"
              Expect.floatClose Accuracy.high (FewImages.processorTime output) 124.75 "seconds"
          }

          test "the page says whether the seeds show a difference" {
              let page = FewImages.markdown settings "dotnet fsi x.fsx"

              contains
                  [ "18.5 points more"
                    "| the zoo's network | mean | 89.50 % | 100 s |"
                    "none of these classes"
                    "\na processor, avx2.\n"
                    "dotnet fsi x.fsx" ]
                  (page (results 0.89))

              contains [ "cannot show a difference" ] (page (results 0.715))
          } ]
