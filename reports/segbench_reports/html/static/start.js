setUpContents();
setUpTips();
setUpTable();
setUpHeat();
setUpCharts();
setUpGallery();
setUpTheme();
document.documentElement.dataset.ready = "true";
