module NormFree.Tests.Program

open Expecto

let private data =
    testList
        "Data"
        [ Data.RandomStreamTests.tests
          Data.ImageTests.tests
          Data.ImageSourceTests.tests
          Data.AugmentTests.tests
          Data.LoaderTests.tests
          Data.DrawnTests.tests
          Data.DecodeTests.tests
          Data.ImageFolderTests.tests
          Data.CifarTests.tests
          Data.FashionMnistTests.tests
          Data.CatalogueTests.tests
          Data.DownloadTests.tests ]

let private all: Test list = [ data ]

[<EntryPoint>]
let main arguments = runTestsWithCLIArgs [] arguments (testList "NormFree" all)
